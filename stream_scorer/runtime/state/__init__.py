"""A lane's store on disk, and how it is restored."""
