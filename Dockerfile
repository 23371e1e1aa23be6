# One image for all: `docker run IMAGE` serves the registry, `docker run IMAGE run` the runner.

FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/base.txt requirements/build.txt requirements/
RUN python -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && python -m venv /opt/saga && /opt/saga/bin/pip install --no-cache-dir --require-hashes -r requirements/base.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY registry registry
COPY runner runner
RUN /opt/build/bin/python -m hatchling build -t wheel -d /dist \
    && /opt/saga/bin/pip install --no-cache-dir --no-index --no-deps /dist/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /srv/saga --create-home saga
COPY --from=build /opt/saga /opt/saga
ENV PATH=/opt/saga/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0
WORKDIR /srv/saga
RUN mkdir .saga && chown saga .saga
USER saga
EXPOSE 8030 8080
ENTRYPOINT ["saga"]
CMD ["registry"]
