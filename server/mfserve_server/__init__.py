"""The gRPC server: server processes on one port, answering from loaded versions. Never imports TensorFlow."""
