module k8s.io/unpublished

go 1.26.0
