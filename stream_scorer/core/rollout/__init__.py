"""Models in production: who serves which id, what outcomes say of champion and candidate, and what follows."""
