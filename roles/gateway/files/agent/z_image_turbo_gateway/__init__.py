"""The agent of a gateway: it watches the instances and tells Nginx which of them to use."""
