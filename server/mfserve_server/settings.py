"""What can be set of a server."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from mfserve_registry.settings import Bytes, ProcessSettings


class Settings(ProcessSettings):
    """Everything that a server process has to know. The string under a field describes it."""

    host: str = Field("127.0.0.1", min_length=1, max_length=255)
    """Name or address to listen on."""
    port: int = Field(50051, ge=0, le=65535)
    """Port to listen on; 0: any free one."""
    tls_certificate: Path | None = None
    """PEM file of the server's certificate and those that lead to its root; with it callers must use TLS."""
    tls_key: Path | None = None
    """PEM file of the certificate's private key, without a password."""
    tls_client_roots: Path | None = None
    """PEM file of the roots of callers' certificates; with it every caller must show one (mutual TLS)."""
    plaintext: bool = False
    """Whether to serve without TLS beyond this machine, where anybody on the way can read and change calls."""
    callers: Path | None = None
    """TOML file of who may call, and what they may do; absent: everybody may do everything."""
    metrics_port: int | None = Field(None, ge=0, le=65535)
    """Port from which Prometheus fetches metrics by HTTP, 0: any free one; absent: there are none."""
    metrics_host: str = Field("127.0.0.1", min_length=1, max_length=255)
    """Name or address for that port. Whoever reaches it reads the metrics."""
    health_port: int | None = Field(None, ge=0, le=65535)
    """Port for health checks alone (gRPC, without TLS), which are answered however many call; absent: there is none."""
    health_host: str = Field("127.0.0.1", min_length=1, max_length=255)
    """Name or address for that port. It tells nothing but whether the server serves."""
    log_calls: float = Field(0.0, ge=0, le=1)
    """Share of the calls that have a line in the log, drawn by chance: method, status, time, version; 0: none."""
    workers: int = Field(1, ge=1, le=256)
    """Server processes on that port."""
    trainer: bool = True
    """Whether to run a trainer process beside the servers."""
    reflection: bool = False
    """Whether callers may ask for the protos (gRPC server reflection)."""
    poll_seconds: float = Field(0.5, gt=0, le=60)
    """How often a server process looks for moved aliases."""
    drain_seconds: float = Field(10.0, ge=0, le=3600)
    """How long calls under way may take to end after SIGTERM."""
    notice_seconds: float = Field(0.0, ge=0, le=600)
    """How long health says NOT_SERVING before a drain begins; as long as a load balancer takes to notice."""
    max_upload_bytes: Bytes = Field(8 * 2**30, ge=1)
    """Most that one upload of ratings may hold."""
    max_loaded_bytes: Bytes = Field(16 * 2**30, ge=0)
    """Most snapshot bytes that a process keeps mapped for versions that no alias names; the last one used stays."""
    max_loaded_versions: int = Field(64, ge=1)
    """Most versions that a process keeps loaded though no alias names them."""
    reply_cache_bytes: Bytes = Field(64 * 2**20, ge=0)
    """Most memory of a server process for replies that it keeps for requests that are repeated; 0: it keeps none."""
    max_shared_calls: int = Field(256, ge=1, le=4096)
    """Most Recommend calls of a large catalogue that are scored together; 1: each by itself."""
    max_concurrent_calls: int = Field(1024, ge=1, le=1_000_000)
    """Most calls for recommendations and ratings that a process has under way."""
    max_queued_calls: int = Field(1024, ge=0, le=1_000_000)
    """Most calls that wait while so many are under way; further ones are refused at once."""
    max_delay_seconds: float = Field(1.0, gt=0, le=3600)
    """Longest that a call waits for its turn; one that might have to wait longer to be scored is refused at once."""
    max_concurrent_streams: int = Field(1024, ge=1, le=1_000_000)
    """Most streams that a process has under way: bulk, uploads, files, followers of jobs."""
    max_streams_per_caller: int = Field(256, ge=1, le=1_000_000)
    """Most of them for one caller: one of the file of callers, or without it one address."""
    stream_idle_seconds: float = Field(600.0, gt=0, le=86_400)
    """How long a stream may wait for its caller to send, or to read, before it is ended."""
    max_request_bytes: Bytes = Field(16 * 2**20, ge=1024, le=2**30)
    """Largest message that a caller may send; 10,000 pairs of long ids are 5 MiB."""

    @field_validator("tls_certificate", "tls_key", "tls_client_roots", "callers", mode="after")
    @classmethod
    def _absolute_file(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()
