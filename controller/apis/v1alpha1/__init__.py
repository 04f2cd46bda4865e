"""apis/v1alpha1."""
