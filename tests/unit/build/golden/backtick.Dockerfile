# Escape = `
FROM scratch
COPY a.txt C:\dir\
RUN one `
    two `
# comment

    three
ENV DIR=C:\x NEXT=a` b
