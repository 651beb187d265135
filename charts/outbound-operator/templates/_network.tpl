{{/* Peers of these networks. From "everything" the link-local ones are taken out, where nodes' metadata services are. */}}
{{- define "outbound-operator.networks" -}}
{{- $without := dict "0.0.0.0/0" (list "169.254.0.0/16") "::/0" (list "fd00:ec2::/32" "fe80::/10") -}}
{{- $peers := list -}}
{{- range . -}}
{{- $block := dict "cidr" . -}}
{{- with get $without . }}{{ $_ := set $block "except" . }}{{ end -}}
{{- $peers = append $peers (dict "ipBlock" $block) -}}
{{- end -}}
{{- toYaml $peers -}}
{{- end -}}

{{/* 443, and the ports of the stores that the configuration names, as a JSON list. */}}
{{- define "outbound-operator.storePorts" -}}
{{- $endpoints := .Values.config.endpoints | default dict -}}
{{- $ports := list 443 -}}
{{- range concat ($endpoints.allow | default list) (compact (list $endpoints.s3 $endpoints.sts)) -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" -}}
{{- if $port }}{{ $ports = append $ports (int $port) }}
{{- else if hasPrefix "http:" . }}{{ $ports = append $ports 80 }}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}
