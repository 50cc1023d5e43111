# syntax=docker/dockerfile:1
# A web application in two stages.

ARG PYTHON=3.13
FROM --platform=$BUILDPLATFORM python:${PYTHON}-slim AS Build
ARG EXTRAS=web MODE
WORKDIR /src
COPY --link pyproject.toml README.md ./
RUN --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    --mount=type=bind,source=wheels,target=/wheels,readonly \
    --mount=type=secret,id=token,required \
    --network=default \
    pip install \
      # comments are dropped
      --no-cache-dir \
      ".[${EXTRAS}]" && \
    true

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="web" \
      maintainer='somebody else'
ENV PATH=/app/bin:$PATH LANG="C.UTF-8"
ENV GREETING hello   there
COPY --from=build --chown=app:app --chmod=u=rwX,go=rX /src /app
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.com/a.tgz /opt/
ADD ["with space", "/opt/with space"]
EXPOSE 8000 8443/tcp
VOLUME ["/data", "/cache"]
VOLUME /logs /run
USER app:app
STOPSIGNAL SIGQUIT
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
HEALTHCHECK --interval=30s --timeout=1m30s --start-period=5s --start-interval=500ms --retries=3 \
  CMD curl -f http://localhost:8000/ || exit 1
ONBUILD COPY . /app
ENTRYPOINT ["python", "-m"]
CMD ["web", "--port", "8000"]
