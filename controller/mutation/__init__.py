"""What `/mutate` changes in an agent's write. Pure; it refuses nothing and judges nothing."""
