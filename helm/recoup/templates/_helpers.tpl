{{- define "recoup.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "recoup.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "recoup.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
{{- end -}}

{{- define "recoup.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "recoup.serviceAccount" -}}
{{- default (ternary (include "recoup.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{/* A tag as part of a name: what a name may not have becomes a hyphen. */}}
{{- define "recoup.slug" -}}
{{- regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trunc 20 | trimAll "-" -}}
{{- end -}}

{{/* The image of a version: dict "root" $ "tag" tag. */}}
{{- define "recoup.image" -}}
{{- $image := .root.Values.image -}}
{{- if and $image.digest (eq .tag $image.tag) -}}
{{ printf "%s@%s" $image.repository $image.digest }}
{{- else -}}
{{ printf "%s:%s" $image.repository .tag }}
{{- end -}}
{{- end -}}

{{- define "recoup.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "recoup.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "recoup.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .from.name }}
      key: {{ .from.key }}
{{- end -}}

{{/* The variables of every process of a version: dict "root" $ "tag" tag. */}}
{{- define "recoup.environment" -}}
{{- $values := .root.Values -}}
- name: RECOUP_ENV
  value: production
- name: RECOUP_HOST
  value: 0.0.0.0
- name: RECOUP_BUILD_ID
  value: {{ .tag | quote }}
- name: RECOUP_LOG_LEVEL
  value: {{ $values.log.level }}
- name: RECOUP_LOG_JSON
  value: "true"
{{- if $values.tracing.enabled }}
- name: RECOUP_TRACING
  value: "true"
- name: RECOUP_TRACING_SAMPLE
  value: {{ $values.tracing.sample | quote }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $values.tracing.endpoint | quote }}
{{- end }}
- name: RECOUP_DATABASE_POOL_SIZE
  value: {{ $values.database.poolSize | quote }}
- name: RECOUP_PUBLIC_URL
  value: {{ $values.publicUrl | quote }}
- name: RECOUP_TRUSTED_PROXIES
  value: {{ default (list "127.0.0.1") $values.trustedProxies | join "," | quote }}
- name: RECOUP_STORAGE_URL
  value: {{ $values.storage.url | quote }}
- name: RECOUP_TEMPORAL_ADDRESS
  value: {{ $values.temporal.address | quote }}
- name: RECOUP_TEMPORAL_NAMESPACE
  value: {{ $values.temporal.namespace | quote }}
{{- with $values.temporal.uiUrl }}
- name: RECOUP_TEMPORAL_UI_URL
  value: {{ . | quote }}
{{- end }}
{{- with $values.temporal.tls }}
{{- if .enabled }}
- name: RECOUP_TEMPORAL_TLS
  value: "true"
{{- with .serverName }}
- name: RECOUP_TEMPORAL_TLS_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
{{- if and .secretName .certKey }}
- name: RECOUP_TEMPORAL_TLS_CERT
  value: /etc/recoup/temporal/{{ .certKey }}
- name: RECOUP_TEMPORAL_TLS_KEY
  value: /etc/recoup/temporal/{{ .keyKey }}
{{- end }}
{{- if and .secretName .caKey }}
- name: RECOUP_TEMPORAL_TLS_CA
  value: /etc/recoup/temporal/{{ .caKey }}
{{- end }}
{{- end }}
{{- end }}
{{- if $values.temporal.apiKey.name }}
{{ include "recoup.secretVariable" (dict "name" "RECOUP_TEMPORAL_API_KEY" "from" $values.temporal.apiKey) }}
{{- end }}
{{ include "recoup.secretVariable" (dict "name" "RECOUP_JWT_SECRET" "from" $values.secrets.jwt) }}
{{ include "recoup.secretVariable" (dict "name" "RECOUP_COLUMN_KEYS" "from" $values.secrets.columnKeys) }}
{{ include "recoup.secretVariable" (dict "name" "RECOUP_PAYLOAD_KEYS" "from" $values.secrets.payloadKeys) }}
{{ include "recoup.secretVariable" (dict "name" "RECOUP_DATABASE_URL" "from" $values.secrets.databaseUrl) }}
{{- range $name, $value := $values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "recoup.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if and .Values.temporal.tls.enabled .Values.temporal.tls.secretName }}
- name: temporal-tls
  mountPath: /etc/recoup/temporal
  readOnly: true
{{- end }}
{{- end -}}

{{/* dict "root" $ "space" size of /tmp */}}
{{- define "recoup.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .space }}
{{- with .root.Values.temporal.tls }}
{{- if and .enabled .secretName }}
- name: temporal-tls
  secret:
    secretName: {{ .secretName }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end -}}

{{/* What the pods of long-running processes have in common: dict "root" $ "of" values "component" name "space" size. */}}
{{- define "recoup.pod" -}}
serviceAccountName: {{ include "recoup.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 45
securityContext:
  {{- include "recoup.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "recoup.selector" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  {{- include "recoup.volumes" . | nindent 2 }}
{{- end -}}

{{- define "recoup.codecPath" -}}
- path: /codec
  pathType: Prefix
  backend:
    service:
      name: {{ include "recoup.fullname" . }}-codec
      port: {name: http}
{{- end -}}
