module outbound.dev/tests/tools/pod

go 1.26.0
