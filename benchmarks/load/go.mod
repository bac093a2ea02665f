module cloudwright.dev/benchmarks/load

go 1.24
