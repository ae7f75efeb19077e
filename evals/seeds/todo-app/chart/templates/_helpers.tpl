{{/* What all names begin with: the release's name, and the chart's when that does not say it. */}}
{{- define "todo-app.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of one part. Called with (dict "root" $ "part" "backend"). */}}
{{- define "todo-app.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "todo-app.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "todo-app.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "todo-app.account" -}}
{{- default (printf "%s-sa" (include "todo-app.fullname" .)) .Values.serviceAccount.name -}}
{{- end -}}

{{/* The parts by name, with their values. */}}
{{- define "todo-app.parts" -}}
backend: {{ toJson .Values.backend }}
frontend-web: {{ toJson .Values.frontendWeb }}
frontend-chatbot: {{ toJson .Values.frontendChatbot }}
{{- end -}}
