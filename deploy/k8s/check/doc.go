// Package check tests the manifests of deploy/k8s without a cluster: kustomize
// builds each overlay, and Kubernetes' own types decode the outcome strictly. It
// is a module of its own, outside of the workspace, because those two libraries
// weigh more than everything else together and nothing that runs needs them.
package check
