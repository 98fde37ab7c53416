"""How many replicas a Deployment should have: Kubernetes' algorithm as pure functions, and the one who carries it out.

`calculate` gives a number for one metric, `pace` holds it to the limits and the past, `reconcile` puts both together,
`autoscalers` acts. After kubernetes/pkg/controller/podautoscaler (replica_calculator.go, horizontal.go).
"""
