"""Every metric: catalogue, definitions, registry, exposition."""
