// What Nginx cannot do in its configuration: hash what a client says of itself.
import crypto from 'crypto';

// SHA-256 of an API key. The keys of the users are kept as such.
function keyHash(request) {
    return crypto.createHash('sha256').update(request.variables.gateway_key).digest('hex');
}

// Name and password as a name that tells neither: what was checked a moment ago is known again by it. With the
// gateway's secret in it, so that nobody who reads the cache can try passwords against it.
function loginHash(request) {
    return crypto.createHmac('sha256', request.variables.gateway_secret)
        .update(request.variables.gateway_login).digest('hex');
}

export default {keyHash, loginHash};
