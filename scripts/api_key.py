"""Make an API key: for its user, and its hash for the vault."""

from __future__ import annotations

import hashlib
import secrets

RANDOM_BYTES = 32


def main() -> None:
    """Run the command."""
    key = f"zit-{secrets.token_urlsafe(RANDOM_BYTES)}"
    print(f"Give this to the user, it is shown only now:  {key}")
    print(f"Put this into api_keys in the vault:          sha256:{hashlib.sha256(key.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
