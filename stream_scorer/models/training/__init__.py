"""Training: dataset, pipelines, fit, evaluation."""
