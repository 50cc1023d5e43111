#!/usr/bin/env docker
  # indented comment
from  alpine   as   base
	run	echo	tabs
RUN echo trailing \   
  continued
RUN echo \\
RUN [ "not json' ]
RUN []
CMD
ENTRYPOINT []
EnV a=1 b="two words" c=three\ words d='$x' e="q\"uote"
ENV legacy value with = sign
LABEL "quoted key"="v" empty=
ARG a b=1 c="x y"
WORKDIR   /spaced path
MAINTAINER Some One <one@example.com>
HEALTHCHECK NONE
HEALTHCHECK CMD ["true"]
EXPOSE 53/udp 9000-9010
USER 1000
RUN --security=insecure --network=none --mount=type=tmpfs,target=/t,size=64m --mount=type=ssh true
COPY --exclude=*.md --exclude=!keep.md --parents ./a/./b ./c/ /dest/
COPY one\ file $where/
FROM base
