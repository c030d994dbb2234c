"""Generated documents: AsyncAPI, schemas, Kubernetes objects, docs pages."""
