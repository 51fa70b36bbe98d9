"""The health check of a GPU host: looks at its instances, and restarts the one that does not help itself."""
