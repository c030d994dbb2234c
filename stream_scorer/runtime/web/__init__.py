"""What a worker serves over HTTP: probes, metrics and (with the operators' page) more."""
