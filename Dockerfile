# syntax=docker/dockerfile:1
# One image for every process: `docker run IMAGE worker default`, `... beat`, `... flower`, `... db upgrade`.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /source

# The locks first: what they install stays cached while the code changes.
COPY requirements/build.lock requirements/run.lock requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.lock \
    && python -m venv /opt/agentflow \
    && /opt/agentflow/bin/pip install --require-hashes --only-binary :all: -r requirements/run.lock

COPY pyproject.toml README.md LICENSE ./
COPY agentflow agentflow
COPY tasks tasks
COPY config config
COPY migrations migrations
RUN /opt/build/bin/python -m build --no-isolation --wheel \
    && /opt/agentflow/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/agentflow/bin/python -m compileall -q /opt/agentflow/lib

FROM python:${PYTHON_VERSION}-slim-trixie
LABEL org.opencontainers.image.title="agentflow" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 agentflow \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/agentflow --shell /usr/sbin/nologin agentflow \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/agentflow \
    && install --directory /agents
COPY --from=build /opt/agentflow /opt/agentflow

# One's own agents are mounted at, or copied to, /agents and named in AGENTFLOW_AGENTS.
ENV PATH=/opt/agentflow/bin:$PATH \
    PYTHONPATH=/agents \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AGENTFLOW_DATA_DIR=/var/lib/agentflow
WORKDIR /agents
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["agentflow"]
CMD ["--help"]
