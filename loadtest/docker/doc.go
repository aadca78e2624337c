// Package docker tries the compose files in a real Docker engine: it copies the
// project, starts it as a new operator would, and changes everything under load.
// The tests need the build tag docker and the images' base images.
package docker
