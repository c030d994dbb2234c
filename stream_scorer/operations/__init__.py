"""What people run around a worker: the local broker, the demo, the benchmark, producing."""
