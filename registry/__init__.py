"""The service registry: who is out there, and which of them should be asked."""
