"""The engine: it performs what a run wishes for, journals what happened, and asks again. `await` begins here."""
