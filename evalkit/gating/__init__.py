"""The gate: may this candidate be merged? A comparison judged by a policy, answered by an exit code."""
