"""The comparison as an exit code: a policy, a verdict, and what CI wants to read."""
