//go:build tools

// Package tools names the programs that this module builds.
package tools

import (
	_ "github.com/bojand/ghz/cmd/ghz"
)
