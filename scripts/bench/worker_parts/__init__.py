"""The parts of `scripts/bench/worker`: the place it plays in, the sections, the other queues."""
