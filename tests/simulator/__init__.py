"""The engine in simulated worlds: virtual time, faults and order by seed, judged by services and journals alone."""
