# One image for web, worker, scheduler and command line. `docker build .` makes it without the demo's
# parts; `--target demo` adds what the simulated far side needs.
FROM python:3.11-slim AS build
RUN python -m pip install --no-cache-dir --disable-pip-version-check uv==0.13.8
WORKDIR /app
COPY requirements.lock requirements-prod.lock ./
RUN uv venv --no-project /opt/citybill \
 && uv pip install --python /opt/citybill/bin/python --no-cache --compile-bytecode --no-deps -r requirements-prod.lock
COPY . .
RUN uv pip install --python /opt/citybill/bin/python --no-cache --no-deps --editable .

FROM build AS build-demo
RUN uv pip install --python /opt/citybill/bin/python --no-cache --no-deps --constraint requirements.lock aiosmtpd atpublic attrs

FROM python:3.11-slim AS base
RUN useradd --system --uid 10001 --create-home --home-dir /data --shell /usr/sbin/nologin citybill
ENV PATH=/opt/citybill/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=build /app /app
USER citybill
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["python", "-m", "web.serving", "--host", "0.0.0.0", "--port", "8000", "--forwarded-allow-ips", "127.0.0.1,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"]

FROM base AS demo
COPY --from=build-demo /opt/citybill /opt/citybill

FROM base AS citybill
COPY --from=build /opt/citybill /opt/citybill
