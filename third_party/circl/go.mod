module github.com/cloudflare/circl

go 1.26

require golang.org/x/sys v0.50.0
