"""What benchmarks, the demo and tests share: worker processes, signals, temporary topics."""
