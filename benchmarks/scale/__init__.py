"""How evaluation grows with workers, machines and requests; what it finds is in docs/scale.md."""
