"""The API `governor.dev/v1alpha1` as it is on the wire, and its conversion to core types."""
