// Starts envoyproxy/ratelimit, which takes all its settings from the environment and ends with a signal.
package main

import (
	"github.com/envoyproxy/ratelimit/src/service_cmd/runner"
	"github.com/envoyproxy/ratelimit/src/settings"
)

func main() {
	server := runner.NewRunner(settings.NewSettings())
	server.Run()
}
