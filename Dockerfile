# Two images out of one file:
#
#   docker build --target server  --tag mfserve-server .     answers over gRPC; has no TensorFlow
#   docker build --target trainer --tag mfserve-trainer .    works off training jobs
#
# Both need the same registry: mount one volume on /var/lib/mfserve in each, or give both the same MFSERVE_* settings.
# The base image is pinned by tag, to the Python that the tests run on. To pin it by digest too, pass
# --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:... ; what is installed into it is pinned by hash anyway.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm


# The wheel of mfserve itself. Its build backend is locked like everything else.
FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /build
COPY requirements/build.lock requirements/build.lock
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY client client
COPY registry registry
COPY scoring scoring
COPY server server
COPY trainer trainer
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /build/dist


# The environments. The locks come first: a change of our code does not install the dependencies again.
FROM ${PYTHON_IMAGE} AS server-environment
WORKDIR /build
COPY requirements/server.lock requirements/server.lock
RUN python -m venv /opt/mfserve \
    && /opt/mfserve/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/server.lock
COPY --from=wheel /build/dist /build/dist
RUN /opt/mfserve/bin/python -m pip install --no-cache-dir --no-index --no-deps /build/dist/*.whl

FROM ${PYTHON_IMAGE} AS trainer-environment
WORKDIR /build
COPY requirements/trainer.lock requirements/trainer.lock
RUN python -m venv /opt/mfserve \
    && /opt/mfserve/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/trainer.lock
COPY --from=wheel /build/dist /build/dist
RUN /opt/mfserve/bin/python -m pip install --no-cache-dir --no-index --no-deps /build/dist/*.whl


# What both images share: a user who may write nothing but the home folder. Its number is fixed, so that a volume
# can be handed to it.
FROM ${PYTHON_IMAGE} AS runtime
RUN groupadd --gid 10001 mfserve \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/mfserve --shell /usr/sbin/nologin mfserve \
    && install --directory --owner=10001 --group=10001 /var/lib/mfserve
ENV PATH=/opt/mfserve/bin:$PATH \
    MFSERVE_HOME=/var/lib/mfserve \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/mfserve
VOLUME /var/lib/mfserve
STOPSIGNAL SIGTERM


FROM runtime AS trainer
# `dot` draws the model graph that is stored with a version.
# Debian keeps only the newest build of a package, so a pinned one would soon not be found.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends graphviz \
    && rm -rf /var/lib/apt/lists/*
COPY --from=trainer-environment /opt/mfserve /opt/mfserve
USER 10001:10001
# A trainer listens to nobody: its lease in the registry tells whether it lives.
HEALTHCHECK NONE
ENTRYPOINT ["mfserve", "trainer"]


FROM runtime AS server
COPY --from=server-environment /opt/mfserve /opt/mfserve
USER 10001:10001
EXPOSE 50051
# It listens to others, and so starts only with a certificate (MFSERVE_TLS_CERTIFICATE, MFSERVE_TLS_KEY), or where
# MFSERVE_PLAINTEXT=true says that the network is trusted: that is for whoever runs it to say.
# By the gRPC health protocol, on a port of its own, inside the container and without TLS. Of the models' service, which answers
# before there is a model, as on the first day.
ENV MFSERVE_HEALTH_PORT=50052
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-m", "mfserve_server.healthcheck", "--service", "mfserve.v1.ModelService"]
ENTRYPOINT ["mfserve", "serve", "--no-trainer", "--host", "0.0.0.0"]
