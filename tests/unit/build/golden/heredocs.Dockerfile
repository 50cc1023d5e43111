FROM alpine
RUN <<EOF
apk add git
echo "# no comment"
EOF
RUN <<-EOF
	indented
	EOF
RUN python3 - <<'PY' > /out && cat <<"SECOND"
print("$HOME")
PY
second
SECOND
COPY <<one.txt <<-two.txt /dir/
first $HOME
one.txt
	second
	two.txt
COPY --chmod=755 <<EOF plain /dir/
#!/bin/sh
EOF
ADD ["<<EOF", "/literal/"]
RUN echo $((1<<2)) <<<word
RUN ["echo", "<<EOF"]
ONBUILD RUN <<EOF
later
EOF
