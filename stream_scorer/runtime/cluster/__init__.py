"""Topics and ACLs of the cluster: definitions, comparison, administration."""
