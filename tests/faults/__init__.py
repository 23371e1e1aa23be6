"""Real processes that die, starve, stop, and lose their disk; the services' own database judges."""
