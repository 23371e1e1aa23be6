"""The pages and the management API: FastAPI, behind the saga paths."""
