"""rekindle inside other trainers. Each integration is a room of its own and stands beside ``training``, not on it."""
