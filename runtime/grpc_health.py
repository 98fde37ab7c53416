"""gRPC's health service, asked once. The only module that imports grpc, and imported with the first such probe."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def problem(address: str, port: int, service: str, timeout: float) -> str:
    """Empty where `service` says that it is SERVING; else what it said, or why it said nothing."""
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    # Each probe connects anew, and by no proxy.
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    with grpc.insecure_channel(where, options=options) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout
            )
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"no answer within {timeout} s"
            return f"{error.code().name}: {error.details()}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return f"service is {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}, expected SERVING"
