//go:build tools

// Package server keeps the MinIO server among this module's requirements.
package server

import _ "github.com/minio/minio"
