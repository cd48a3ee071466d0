# The image that manifests/ runs. Everything that the service needs is fetched in the first
# stage, at the versions of requirements.txt; the second one holds no pip and no compiler,
# and writes only where manifests/base/deployment.yaml mounts something.

# The Debian release and the minor Python are pinned; a rebuild brings their security fixes.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
# hatchling builds the wheel; its version stands with the other tools of development.
COPY requirements.txt requirements-dev.txt ./
RUN python -m venv /build \
 && grep -v '^-r' requirements-dev.txt > /build/pins.txt \
 && /build/bin/pip install --no-cache-dir --constraint /build/pins.txt hatchling
# Before our own code: it changes more often than what it needs.
RUN python -m venv --without-pip /opt/reconciler \
 && /build/bin/pip --python /opt/reconciler/bin/python install --no-cache-dir \
    --only-binary :all: --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY reconciler reconciler
RUN /build/bin/python -m hatchling build --target wheel --directory /build/wheels \
 && /build/bin/pip --python /opt/reconciler/bin/python install --no-cache-dir \
    --no-index --no-deps /build/wheels/*.whl

FROM python:3.11-slim-bookworm
# git and ssh fetch repositories; tini collects the helpers of a git that was ended at its
# deadline. ssh refuses to run as a user that has no entry in /etc/passwd.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini \
 && rm -rf /var/lib/apt/lists/* \
 && python -m pip uninstall --yes --no-cache-dir setuptools wheel pip \
 && groupadd --gid 65532 reconciler \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin reconciler
COPY --from=build /opt/reconciler /opt/reconciler
ENV PATH=/opt/reconciler/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["/usr/bin/tini", "--", "reconciler"]
CMD ["--help"]
