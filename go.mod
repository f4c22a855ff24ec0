module cdktr

go 1.26.0

require (
	github.com/cloudflare/circl v1.6.5
	github.com/go-zeromq/zmq4 v0.17.0
	go.yaml.in/yaml/v4 v4.0.0
	golang.org/x/crypto v0.59.0
	golang.org/x/sys v0.50.0
	golang.org/x/term v0.48.0
)

require (
	github.com/go-zeromq/goczmq/v4 v4.2.2 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)

replace golang.org/x/text => ./third_party/text

replace github.com/cloudflare/circl => ./third_party/circl

replace go.yaml.in/yaml/v4 => ./third_party/yaml
