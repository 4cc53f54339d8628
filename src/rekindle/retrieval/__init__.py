"""Finding passages: indexes in this process, and a client and a server for others."""
