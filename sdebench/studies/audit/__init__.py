"""The audit: other people's samplers, run as they are on exact problems."""
